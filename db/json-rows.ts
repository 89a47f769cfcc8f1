import { UPLOAD_STATES } from '../server/uploads/states.ts'
import type { UploadRow } from './rows.ts'

/**
 * A row as one column: describing, sending and parsing more than forty at each statement took longer than all else that a
 * look-up costs this process (docs/performance.md).
 */
export const AS_JSON = (source: string): string => `to_json(${source}) as upload`

const TIMES = ['expires_at', 'updated_at', ...UPLOAD_STATES.map((state) => `${state}_at`)]
const BYTES = ['concat_raw', 'metadata_raw']

/**
 * The row as the driver would have given it column by column, from what a statement that ends in {@link AS_JSON} answers:
 * times as ISO text, bytes as hex. Throws RangeError for a number beyond 2^53-1.
 */
export function fromJson(answer: unknown): UploadRow {
  const { upload } = answer as { readonly upload: Record<string, unknown> }
  for (const column in upload) {
    const value = upload[column]
    if (typeof value === 'number' && !Number.isSafeInteger(value)) {
      throw new RangeError(`${column} from the database is above 2^53-1`)
    }
  }
  for (const column of TIMES) {
    const value = upload[column]
    if (typeof value === 'string') upload[column] = new Date(value)
  }
  for (const column of BYTES) {
    const value = upload[column]
    if (typeof value === 'string') upload[column] = bytesOf(value)
  }
  // The columns are those of `uploads`, whatever migration added the last of them.
  return upload as UploadRow & Record<string, unknown>
}

/** Both spellings of bytea_output: `\x6162`, and `ab` with `\\` and `\001` escaped. */
function bytesOf(text: string): Buffer {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex')
  const plain = text.replaceAll(/\\(\\|[0-7]{3})/g, (_, code: string) =>
    code === '\\' ? code : String.fromCharCode(Number.parseInt(code, 8)),
  )
  return Buffer.from(plain, 'latin1')
}
