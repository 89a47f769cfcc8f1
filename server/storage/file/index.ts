export { FileByteStore, type FileStoreOptions } from './store.ts'
