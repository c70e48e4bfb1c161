SELECT 1;

  \d+ t
