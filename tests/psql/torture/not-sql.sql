hello, world! it is 5 o"clock; " ; @#~ [] {} ` ? ;
