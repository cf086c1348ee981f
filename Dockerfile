FROM node:24-slim
WORKDIR /rowhouse
COPY package.json package-lock.json ./
# Without scripts: the npm package `node` would fetch a second Node, and the embedded PostgreSQL is not used here.
RUN npm ci --omit=dev --ignore-scripts
COPY bin bin
COPY functions functions
COPY db db
COPY sql sql
RUN mkdir /storage && chown node:node /storage
USER node
ENTRYPOINT ["node", "functions/cli/main.ts"]
CMD ["--help"]
