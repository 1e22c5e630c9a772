// Fetches a URL over TLS: fetch.js URL
'use strict';
const ciphers = 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256';
const request = require('https').get(process.argv[2], { ciphers, minVersion: 'TLSv1.2' }, (answer) => {
  answer.resume();
  answer.on('end', () => process.exit(answer.statusCode === 200 ? 0 : 1));
});
request.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
