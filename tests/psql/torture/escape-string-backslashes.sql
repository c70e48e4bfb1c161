SELECT E'\\'; SELECT E'\\\';'; SELECT E'\\\\';
