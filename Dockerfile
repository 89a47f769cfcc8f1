# syntax=docker/dockerfile:1
# One image that serves (npm run server), works (npm run worker) and migrates (npm run db:migrate): docs/operations/image.md.
# test/integration/image.test.ts reads this file and runs its steps as plain commands in an empty folder, so a RUN names
# no path outside its WORKDIR's parent.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /build/app
COPY package.json package-lock.json ./
# The base image brings Node; the one that package.json has for machines without a Node 24 must not stand beside it.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && rm -r node_modules/node-linux-* node_modules/.bin/node
COPY server ./server
COPY hooks ./hooks
COPY db ./db
COPY web ./web
COPY scripts ./scripts
# What DATA_DIR may name; a volume that is mounted there takes its owner over.
RUN mkdir ../data

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production
# As the scripts of package.json: young objects take 32 MiB at most, not 128 (docs/operations/memory-pressure.md).
ENV NODE_OPTIONS=--max-semi-space-size=16
# npm's own files: none but in /tmp, since the root file system is read-only where it is run well.
ENV npm_config_cache=/tmp/.npm npm_config_logs_max=0 npm_config_update_notifier=false
WORKDIR /app
COPY --from=build /build/app ./
COPY --from=build --chown=1000:1000 /build/data /data
# `node` of the base image, as a number: Kubernetes' runAsNonRoot looks at nothing else.
USER 1000:1000
EXPOSE 3005
# Alive, not ready: a service that waits for Redis must not be killed for it. A worker has no port: switch it off there.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3005}/livez`, { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "server/main.ts"]
