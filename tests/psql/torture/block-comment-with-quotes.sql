SELECT /* it's " $$ ( \d */ 1; SELECT 2;
