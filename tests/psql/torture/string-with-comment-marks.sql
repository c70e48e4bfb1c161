SELECT '--', '/*'; SELECT '*/', '-- ;';
