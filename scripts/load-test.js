/** The load test at the address that the deployment guide gives: `node scripts/load-test.js --concurrent=1000`. */
import '../load-tests/load-test.js'
