CREATE/**/TABLE/* ; */t(a/*)*/int);SELECT/**/1;
