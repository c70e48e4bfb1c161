SELECT (1 /* ; */
-- )
)