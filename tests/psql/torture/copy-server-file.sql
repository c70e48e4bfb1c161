COPY t FROM '/tmp/from stdin'; COPY t FROM PROGRAM 'cat; stdin'; COPY t FROM "stdin"; SELECT 1;
