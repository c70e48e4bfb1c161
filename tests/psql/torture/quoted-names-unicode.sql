SELECT U&"d\0061;t", u&"a"";b" ; SELECT U&"!0041;" UESCAPE '!'; SELECT 2;
