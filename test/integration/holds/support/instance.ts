import { type EventEmitter, once } from 'node:events'
import { Readable } from 'node:stream'
import type { AppendRequest, Engine, Verification } from '../../../../server/uploads/api.ts'
import type { UploadId } from '../../../../server/uploads/words.ts'
import { ALICE, bodyOf } from '../../support/engine.ts'
import type { Gates } from './gates.ts'
import type { Ledger } from './ledger.ts'

/** What a client hears: an offset, or the code of a refusal. */
export type Heard = { readonly code: 'ok'; readonly offset: number } | { readonly code: string; readonly offset: null }

/** A PATCH whose body is fed by hand. */
export interface Stream {
  send(bytes: Buffer): void
  end(): void
  readonly heard: Promise<Heard>
}

export interface PatchOptions {
  readonly declaredLength?: number
  readonly verification?: Verification
}

/** One instance of the service, as its clients use it. Everything they are told goes into the ledger. */
export class Instance {
  readonly gates: Gates
  readonly engine: Engine
  readonly #ledger: Ledger
  readonly #received: EventEmitter
  #bytes = 0

  /** `received` emits `bytes` for all that comes out of a body. */
  constructor(gates: Gates, engine: Engine, ledger: Ledger, received: EventEmitter) {
    this.gates = gates
    this.engine = engine
    this.#ledger = ledger
    this.#received = received
    received.on('bytes', (bytes: number) => {
      this.#bytes += bytes
    })
  }

  /** Resolves when it has read so many bytes of its clients' bodies in all. */
  async hasGot(bytes: number): Promise<void> {
    while (this.#bytes < bytes) await once(this.#received, 'bytes')
  }

  /** PATCH with a body that is here already. */
  patch(id: UploadId, offset: number, bytes: Buffer, options: PatchOptions = {}): Promise<Heard> {
    return this.#append(id, { offset, body: bodyOf(bytes), bodyLength: bytes.length, ...options }, [bytes])
  }

  /** PATCH of `length` bytes, of which none has come yet. */
  stream(id: UploadId, offset: number, length: number, options: PatchOptions = {}): Stream {
    const body = new Readable({ read() {} })
    const sent: Buffer[] = []
    return {
      heard: this.#append(id, { offset, body, bodyLength: length, ...options }, sent),
      send: (bytes) => {
        sent.push(bytes)
        body.push(bytes)
      },
      end: () => void body.push(null),
    }
  }

  head(id: UploadId): Promise<Heard> {
    return this.#answered(async () => {
      const { offset } = await this.engine.inspect(ALICE, id)
      this.#ledger.told(id, offset)
      return offset
    })
  }

  #append(id: UploadId, request: AppendRequest, sent: readonly Buffer[]): Promise<Heard> {
    return this.#answered(async () => {
      const { offset } = await this.engine.append(ALICE, id, request)
      this.#ledger.acknowledged(id, request.offset, Buffer.concat(sent), offset)
      return offset
    })
  }

  async #answered(ask: () => Promise<number>): Promise<Heard> {
    try {
      return { code: 'ok', offset: await ask() }
    } catch (error) {
      // Every refusal has a code, also that of a product whose error class is another one.
      if (!(error instanceof Error && 'code' in error)) throw error
      this.#ledger.refused(`${error.code}: ${error.message} ${error.cause ?? ''}`)
      return { code: String(error.code), offset: null }
    }
  }
}
