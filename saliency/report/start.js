// Builds the page. This is the last script, because it needs all the others.

connectControls();
describeRun();
describeSanity();
describeDeletion();
describeMethods();
describeTrust();
describeFeatures();
describeOverview();
describeFindings();
describeGallery();
