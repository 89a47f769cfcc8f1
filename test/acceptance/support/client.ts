/** tus-js-client as a program uses it, with everything that the tests look at. */

import type { Readable } from 'node:stream'
import type { DetailedError, Upload as TusUpload, UploadOptions } from 'tus-js-client'
import { Upload } from 'tus-js-client'
import { UPLOADS } from './tus.ts'

export type Source = ConstructorParameters<typeof TusUpload>[0]
export type ClientOptions = ConstructorParameters<typeof TusUpload>[1]

export interface Run {
  readonly upload: TusUpload
  /** The path of the upload when the client reports success; rejects when it reports failure. */
  readonly done: Promise<string>
  /** What the server acknowledged, chunk by chunk. */
  readonly accepted: readonly number[]
}

/** An upload that is ready to start. Retries as the client does by default unless told otherwise. */
export function clientOf(origin: string, source: Source, options: Partial<UploadOptions> = {}): Run {
  const accepted: number[] = []
  let succeed: (path: string) => void = () => {}
  let fail: (error: Error | DetailedError) => void = () => {}
  const done = new Promise<string>((resolve, reject) => {
    succeed = resolve
    fail = reject
  })
  const upload = new Upload(source, {
    endpoint: `${origin}${UPLOADS}`,
    ...options,
    onChunkComplete: (size, bytesAccepted, total) => {
      accepted.push(bytesAccepted)
      options.onChunkComplete?.(size, bytesAccepted, total)
    },
    onSuccess: () => succeed(new URL(upload.url ?? '', origin).pathname),
    onError: (error) => fail(error),
  })
  done.catch(() => {})
  return { upload, done, accepted }
}

/** Starts it and waits for the end. */
export function uploaded(origin: string, source: Source, options: Partial<UploadOptions> = {}): Promise<string> {
  const run = clientOf(origin, source, options)
  run.upload.start()
  return run.done
}

/** The Node build of the client takes streams; its typings know the browser's only. */
export function streamSource(stream: Readable): Source {
  return stream as unknown as Source
}

/** Where a program remembers its unfinished uploads from one run to the next. */
export function rememberedUrls(): NonNullable<UploadOptions['urlStorage']> {
  type Previous = Parameters<NonNullable<UploadOptions['urlStorage']>['addUpload']>[1]
  const known = new Map<string, Previous>()
  return {
    findAllUploads: async () => [...known.values()],
    findUploadsByFingerprint: async (fingerprint) =>
      [...known].filter(([key]) => key.startsWith(`${fingerprint}::`)).map(([, upload]) => upload),
    removeUpload: async (key) => void known.delete(key),
    addUpload: async (fingerprint, upload) => {
      const urlStorageKey = `${fingerprint}::${known.size}`
      known.set(urlStorageKey, { ...upload, urlStorageKey })
      return urlStorageKey
    },
  }
}
