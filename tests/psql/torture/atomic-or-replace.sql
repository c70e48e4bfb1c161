create or replace procedure p()
begin atomic
  insert into t values (1);
end;
CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC; SELECT 1; END; SELECT 2;
