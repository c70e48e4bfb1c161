CrEaTe
FuNcTiOn
f()
ReTuRnS int
BeGiN
AtOmIc
SELECT cAsE WHEN true THEN 1 eNd;
EnD
;
SELECT 1;
