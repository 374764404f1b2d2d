// Searches a collection: npm run search -- ADDRESS "an ambulance" [crop.jpg]
// Prints one line a hit: rank, score, image id, box. Exit code 1 when the search is refused.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import * as grpc from "@grpc/grpc-js";
import * as protoLoader from "@grpc/proto-loader";

interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

interface Hit {
  image_id: string;
  box: Box;
  score: number;
}

interface SearchResponse {
  hits: Hit[];
  coverage: { degraded: boolean; patches_covered: string; patches_total: string };
}

interface SearchRequest {
  terms: ({ text: string; weight: number } | { crop: Buffer; weight: number })[];
  k: number;
}

interface SearchService extends grpc.Client {
  Search(
    request: SearchRequest,
    options: grpc.CallOptions,
    done: (error: grpc.ServiceError | null, response?: SearchResponse) => void,
  ): grpc.ClientUnaryCall;
}

const here = dirname(fileURLToPath(import.meta.url));
// google/rpc/status.proto, which the API imports, comes from a package.
const googleProtos = dirname(createRequire(import.meta.url).resolve("google-proto-files/package.json"));

function connect(address: string): SearchService {
  const definition = protoLoader.loadSync("patchsearch/v1/search_service.proto", {
    includeDirs: [resolve(here, "../../../protos"), googleProtos],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
  });
  const root = grpc.loadPackageDefinition(definition) as unknown as {
    patchsearch: {
      v1: {
        SearchService: new (a: string, c: grpc.ChannelCredentials, o: object) => SearchService;
      };
    };
  };
  return new root.patchsearch.v1.SearchService(address, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": 64 * 1024 * 1024,
    "grpc.enable_http_proxy": 0,
  });
}

const [address, text, crop] = process.argv.slice(2);
if (address === undefined || text === undefined) {
  console.error('usage: npm run search -- 127.0.0.1:7100 "an ambulance" [crop.jpg]');
  process.exit(2);
}
const terms: SearchRequest["terms"] = [{ text, weight: 1 }];
if (crop !== undefined) {
  terms.push({ crop: readFileSync(crop), weight: 1 });
}
const client = connect(address);
// The deadline is the only timeout, and every call should have one.
client.Search({ terms, k: 8 }, { deadline: Date.now() + 30_000 }, (error, response) => {
  client.close();
  if (error !== null || response === undefined) {
    console.error(`${grpc.status[error?.code ?? 2]}: ${error?.details}`);
    process.exitCode = 1;
    return;
  }
  response.hits.forEach((hit, rank) => {
    const { x, y, w, h } = hit.box;
    console.log(`${rank + 1}  ${hit.score.toFixed(4)}  ${hit.image_id}  ${x},${y},${w},${h}`);
  });
  if (response.coverage.degraded) {
    console.error("only a part of the collection answered");
  }
});
