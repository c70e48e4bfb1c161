SELECT '%s %% {x} {{y}} :z $1 ?;', '%(a)s'; SELECT 5 % 2, 5 %% 2;
