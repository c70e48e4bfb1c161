SELECT :x, :'y', :"z", ':a', ":b", $$:c$$; SELECT :x;
