import { conformance } from './conformance/all.ts'
import { embeddedBackend } from './support/backend.ts'

conformance('embedded', embeddedBackend)
