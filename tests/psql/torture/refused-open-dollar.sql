SELECT $x$ $$;
