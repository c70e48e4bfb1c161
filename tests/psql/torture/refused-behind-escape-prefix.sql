SELECT E\'a;';
