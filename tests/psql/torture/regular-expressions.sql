SELECT 'a;' ~* '\m;\M', 'b' !~ E'^\\s*;\'$', regexp_replace(a, '(\d+);', '\1--', 'g'); SELECT 1;
