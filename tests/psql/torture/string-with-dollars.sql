SELECT '$$;', '$a$'; SELECT '$$';
