import { Cluster } from 'ioredis'
import type { RedisClient } from './client.ts'

export interface ChannelOptions {
  readonly name: string
  readonly open: () => RedisClient
  /** Publishes on this same channel, over another connection. */
  readonly publish: (text: string) => Promise<unknown>
  readonly onMessage: (text: string) => void
  /** Every so often the channel hears itself; after three silences its connection is replaced. */
  readonly beatMs: number
}

const BEAT = 'beat'

/**
 * The subscriber connection of a process and its one channel. It subscribes again after every reconnect (what was said
 * meanwhile is lost), and it notices a connection that died without a word.
 */
export class Channel {
  readonly #options: ChannelOptions
  readonly #beat: NodeJS.Timeout
  #client: RedisClient
  #silences = 0
  #closed = false
  #subscribed: () => void = () => {}
  /** Resolves when the channel is heard for the first time. */
  readonly listening: Promise<void>

  constructor(options: ChannelOptions) {
    this.#options = options
    this.listening = new Promise((resolve) => {
      this.#subscribed = resolve
    })
    this.#client = this.#connect()
    this.#beat = setInterval(() => void this.#listenToMyself(), options.beatMs)
    this.#beat.unref()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#beat)
    this.#client.disconnect()
    this.#subscribed()
  }

  #connect(): RedisClient {
    const { name, open } = this.#options
    const client = open()
    const sharded = client instanceof Cluster
    client.on(sharded ? 'smessage' : 'message', (channel: string, text: string) => {
      if (channel !== name || client !== this.#client) return
      this.#silences = 0
      if (text !== BEAT) this.#options.onMessage(text)
    })
    client.on('error', () => {}) // the commands' connections meet the same failure, and report it
    const subscribe = () => {
      const asked = sharded ? client.ssubscribe(name) : client.subscribe(name)
      asked.then(
        () => this.#subscribed(),
        () => {}, // the connection broke again; the next `ready` asks again, and the beat watches over both
      )
    }
    // A cluster's client keeps sharded subscriptions itself.
    if (sharded) client.once('ready', subscribe)
    else client.on('ready', subscribe)
    return client
  }

  async #listenToMyself(): Promise<void> {
    if (this.#silences >= 3) this.#replace()
    try {
      await this.#options.publish(BEAT)
      this.#silences++
    } catch {
      // Redis is away altogether, and silence says nothing about this connection. Once it is back the first one does:
      // this connection may still hang on a primary that is none any more.
      this.#silences = 2
    }
  }

  #replace(): void {
    if (this.#closed) return
    this.#silences = 0
    const old = this.#client
    this.#client = this.#connect()
    old.disconnect()
  }
}
