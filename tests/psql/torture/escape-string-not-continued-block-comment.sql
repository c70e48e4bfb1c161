SELECT E'a' /* x
 */
'\'; SELECT 2;
