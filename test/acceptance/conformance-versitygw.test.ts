import { conformance } from './conformance/all.ts'
import { productionBackend, storeNamed } from './support/backend.ts'

conformance('production on versitygw', () => productionBackend(storeNamed('versitygw')))
