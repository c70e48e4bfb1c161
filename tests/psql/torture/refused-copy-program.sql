\copy t from program 'cat'
