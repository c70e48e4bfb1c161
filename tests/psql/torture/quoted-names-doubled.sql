SELECT "a"";b", """", """a""";SELECT 1 AS "";
