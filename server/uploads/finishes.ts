import type { Background } from './deps.ts'
import { UploadError } from './errors.ts'
import type { Upload, UploadId } from './words.ts'

/**
 * The finishes that run in this process. A finish may outlast its request: no request waits longer than
 * `waitMs`, the finish goes on, and whoever asks for the upload meanwhile waits for the same one.
 */
export class Finishes {
  readonly #running = new Map<UploadId, Promise<Upload>>()
  readonly #background: Background
  readonly #waitMs: number

  constructor(background: Background, waitMs: number) {
    this.#background = background
    this.#waitMs = waitMs
  }

  /** Starts a finish and waits for it as long as a request may. Throws what it throws, or finish_pending. */
  start(upload: UploadId, finish: Promise<Upload>): Promise<Upload> {
    this.#running.set(upload, finish)
    const forget = () => {
      if (this.#running.get(upload) === finish) this.#running.delete(upload)
    }
    this.#background.keep(finish.finally(forget))
    return this.#wait(upload, finish)
  }

  /** The running finish of an upload, waited for; null when none runs here. */
  join(upload: UploadId): Promise<Upload> | null {
    const finish = this.#running.get(upload)
    return finish ? this.#wait(upload, finish) : null
  }

  async #wait(upload: UploadId, finish: Promise<Upload>): Promise<Upload> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new UploadError(
            'finish_pending',
            `Upload ${upload} has all its bytes and is being finished. Ask again shortly.`,
          ),
        )
      }, this.#waitMs)
    })
    try {
      return await Promise.race([finish, late])
    } finally {
      clearTimeout(timer)
    }
  }
}
