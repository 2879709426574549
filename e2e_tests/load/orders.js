// k6: orders in an open loop, over the shop's own interface: a rise over RAMP, then RATE a second for DURATION.
// Only what comes after the rise is judged, and the thresholds set the exit code; see docker-compose.yml.
import http from 'k6/http';
import { check, fail, sleep } from 'k6';

const GIVEN = __ENV.GIVEN || '/run/waybill/load';
const CHECKOUT = __ENV.CHECKOUT || 'http://checkout:8000';
const INVENTORY = __ENV.INVENTORY || 'http://inventory:8000';
const customers = JSON.parse(open(`${GIVEN}/customers.json`));
const operator = open(`${GIVEN}/operator.token`);

const RATE = Number(__ENV.RATE || 30);
const RAMP = __ENV.RAMP || '5s';
const arrivals = { exec: 'place', timeUnit: '1s', preAllocatedVUs: 50, maxVUs: 500 };

export const options = {
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
  scenarios: {
    rise: { ...arrivals, executor: 'ramping-arrival-rate', startRate: 0, stages: [{ target: RATE, duration: RAMP }] },
    orders: { ...arrivals, executor: 'constant-arrival-rate', startTime: RAMP, rate: RATE, duration: __ENV.DURATION || '60s' },
  },
  thresholds: {
    'checks{scenario:orders}': ['rate>0.99'],
    'http_req_duration{scenario:orders}': [`p(99)<${__ENV.P99_MS || 1000}`],
    'dropped_iterations{scenario:orders}': ['count==0'], // an order that k6 could not send in time was never offered
  },
};

function post(url, token, body, headers = {}) {
  const all = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', ...headers };
  return http.post(url, JSON.stringify(body), { headers: all });
}

function order(token, key, sku) {
  const body = { lines: [{ sku, quantity: 1 }], payment_token: 'tok_ok' };
  return post(`${CHECKOUT}/v1/orders`, token, body, { 'Idempotency-Key': key });
}

export function setup() {
  const run = Date.now().toString(16);
  const sku = `k6-${run}`;
  const product = { sku, name: 'A measured thing', unit_price: { amount_minor: 1999, currency: 'USD' } };
  const receipt = { receipt_id: `00000000-0000-4000-8000-${run.padStart(12, '0')}`, lines: [{ sku, quantity: 10000000 }] };
  post(`${INVENTORY}/v1/products`, operator, { products: [product] });
  post(`${INVENTORY}/v1/stock-receipts`, operator, receipt);
  for (let waited = 0; waited < 60; waited += 1) {
    if (order(customers[0], `${run}-first`, sku).status === 202) return { run, sku };
    sleep(0.5);
  }
  return fail('checkout does not know the product after 30 s');
}

export function place({ run, sku }) {
  const number = `${__VU}-${__ITER}`;
  const answer = order(customers[__VU % customers.length], `${run}-${number}`, sku);
  check(answer, { accepted: ({ status }) => status === 202 });
}
