SELECT 1 AS nameE'\'; SELECT a$E'\'; SELECT _e'\';
