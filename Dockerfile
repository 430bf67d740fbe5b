# The service, the worker and the migrations: one image, the command says which. No development dependencies, no
# embedded PostgreSQL, no development doors.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev

FROM node:24-slim
# One arena of the C library, as in `npm start`: several keep tens of megabytes for nothing.
ENV MALLOC_ARENA_MAX=1
ENV NODE_ENV=production NODE_COMPILE_CACHE=/home/node/compile-cache
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
# Owned by who runs: committed migrations may be readable to their owner only.
COPY --chown=node:node package.json .gmrc ./
COPY --chown=node:node migrations migrations
COPY --chown=node:node sql sql
COPY --chown=node:node src src
# For whoever works in the container: mana-credits keys list, mana-credits verify …
RUN chmod +x src/main.ts && ln -s /app/src/main.ts /usr/local/bin/mana-credits
USER node
# What Node makes of the sources, made once: a start is quicker for it and takes 20 MB less. It holds for these flags only.
RUN node --max-semi-space-size=32 src/main.ts help \
  && node --max-semi-space-size=32 -e "import('/app/src/commands/serve.ts')"
EXPOSE 3061
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3061}/health`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# No shell and no npm between: SIGTERM reaches the service. The heap as in `npm start`: 32 MB for young objects is a fifth
# more debits a second than the default; the process takes up to 400 MB.
CMD ["node", "--max-semi-space-size=32", "src/main.ts", "serve"]
