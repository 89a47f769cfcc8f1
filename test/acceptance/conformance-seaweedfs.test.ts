import { conformance } from './conformance/all.ts'
import { productionBackend, storeNamed } from './support/backend.ts'

conformance('production on seaweedfs', () => productionBackend(storeNamed('seaweedfs')))
