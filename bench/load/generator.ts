/** The load generator's process: one work a message, its times as the answer. */
import { WORKS, type Work } from './works.ts'

/** What comes back for a {@link Work}. */
export type Outcome = { readonly times: number[] } | { readonly error: string }

function run({ name, work }: Work): Promise<number[]> {
  switch (name) {
    case 'uploads':
      return WORKS.uploads(work)
    case 'files':
      return WORKS.files(work)
    case 'posts':
      return WORKS.posts(work)
    case 'prepareHeads':
      return WORKS.prepareHeads(work)
    case 'heads':
      return WORKS.heads(work)
    case 'hold':
      return WORKS.hold(work)
    case 'takeOver':
      return WORKS.takeOver(work)
    case 'slow':
      return WORKS.slow(work)
  }
}

process.on('message', (message: Work) => {
  const tell = (outcome: Outcome): void => void process.send?.(outcome)
  run(message).then(
    (times) => tell({ times }),
    (error: Error) => tell({ error: `${message.name}: ${error.stack ?? error.message}` }),
  )
})
