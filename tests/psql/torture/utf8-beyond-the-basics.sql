SELECT '􏿿;', '�', '﻿'; SELECT 'é;';
