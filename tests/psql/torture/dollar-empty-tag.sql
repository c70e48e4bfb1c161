SELECT $$a;b'c"d--e/*$$; SELECT $$$$; SELECT $$;$$;
