"""Compose files as people write them."""

from __future__ import annotations

SHOP = """\
x-app: &app
  build: .
  environment: &environment
    DATABASE_URL: postgres://shop:${DB_PASSWORD}@db:5432/shop
    REDIS_URL: redis://cache:6379/0
  depends_on:
    db: {condition: service_healthy}
    cache: {condition: service_started}
services:
  web:
    <<: *app
    command: gunicorn shop.wsgi -b 0.0.0.0:8000
    ports: ["${PORT:-8000}:8000"]
    healthcheck:
      test: curl -f http://localhost:8000/healthz || exit 1
      interval: 10s
      timeout: 3s
    depends_on:
      migrate: {condition: service_completed_successfully}
    volumes: ["./:/app", "media:/app/media"]
  worker:
    <<: *app
    command: celery -A shop worker -l info
    deploy: {replicas: 2, resources: {limits: {memory: 512M, cpus: "0.5"}}}
    stop_grace_period: 1m
    environment: {<<: *environment, CONCURRENCY: 4}
    depends_on: [web, cache]
    healthcheck: {test: [CMD, celery, -A, shop, inspect, ping], interval: 30s, timeout: 10s, retries: 5}
  migrate:
    <<: *app
    command: python manage.py migrate
    restart: "no"
  db:
    image: postgres:16
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: "${DB_PASSWORD}"}
    volumes: ["db-data:/var/lib/postgresql/data"]
    healthcheck: {test: ["CMD-SHELL", "pg_isready -U shop"], interval: 5s, retries: 10}
    shm_size: 256mb
  cache:
    image: redis:7
    command: redis-server --requirepass ${REDIS_PASSWORD}
volumes: {db-data: , media: }
"""

SIMPLE = """\
services:
  web:
    build: .
    ports: ["8080:3000"]
"""

SEVERAL = """\
name: forum
services:
  front:
    build: {context: ./front, target: runtime, args: {API: "http://api"}}
    ports: ["80:80"]
    depends_on: [api]
  api:
    build: ./api
    ports: ["127.0.0.1:9000:9000"]
    depends_on: [db]
  db:
    image: mongo:7
    volumes: ["data:/data/db"]
volumes: {data: {name: forum-data}}
"""

IMAGES = """\
services:
  blog:
    image: ghost:5
    ports: ["8080:2368"]
    environment: {database__connection__password: hidden-1234}
    volumes: ["content:/var/lib/ghost/content"]
  db:
    image: mysql:8
    environment: {MYSQL_ROOT_PASSWORD: hidden-1234}
    volumes: ["db:/var/lib/mysql"]
    ports: ["3306:3306"]
volumes: {content: , db: }
"""

PROXY = """\
services:
  app:
    build: .
    expose: [8000]
  nginx:
    image: nginx:1.25
    ports: ["80:80", "443:443"]
    volumes: ["./nginx.conf:/etc/nginx/nginx.conf:ro"]
    depends_on: [app]
"""

TRAEFIK = """\
services:
  traefik:
    image: traefik:v3.1
    ports: ["80:80"]
    volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro"]
  api:
    build: .
    labels:
      - traefik.enable=true
      - traefik.http.routers.api.rule=Host(`api.example.com`) && PathPrefix(`/v1`)
      - traefik.http.services.api.loadbalancer.server.port=8000
      - com.example.team=blue
  admin:
    image: shop/admin:2
    labels:
      traefik.http.routers.admin.rule: Host(`admin.example.com`) || Host(`intern.example.com`)
      traefik.http.services.admin.loadbalancer.server.port: "9000"
"""

TRANSPORTS = """\
services:
  queue:
    build: .
    ports: ["5672:5672"]
  names:
    image: shop/dns:1
    ports: ["53:53/udp", "53:53/tcp"]
"""

CONTAINER = """\
services:
  worker:
    build: .
    command: ["work", "$$HOME"]
    entrypoint: tini --
    user: "1000:1000"
    working_dir: /srv
    init: true
    read_only: true
    stop_signal: SIGINT
    stop_grace_period: 1m30s
    tmpfs: /run
    shm_size: 64m
    ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}
    cap_add: [NET_ADMIN]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:false"]
    extra_hosts: ["host.docker.internal:host-gateway"]
    labels: {com.example.team: blue}
    logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
    gpus: all
    mem_limit: 1g
    cpus: 1.5
    pids_limit: 200
    restart: on-failure
    networks: [default, shared]
    privileged: true
    container_name: my-worker
    hostname: worker-1
    tty: true
    x-own: 1
    nonsense: 1
networks: {shared: {external: true, name: company}}
"""

EXAMPLES = {
    "shop": SHOP,
    "simple": SIMPLE,
    "several": SEVERAL,
    "images": IMAGES,
    "proxy": PROXY,
    "traefik": TRAEFIK,
    "transports": TRANSPORTS,
    "container": CONTAINER,
}
