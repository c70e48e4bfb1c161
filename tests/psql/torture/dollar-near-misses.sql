SELECT $a$ $ a$ $a $A$ $aa$ $$ ;$a$; SELECT 2;
