/* A provider in OpenAI's shape whose cost is small and constant: the load of a benchmark ends here.
 *
 *   provider PORT
 *
 * One thread, epoll, loopback only. How an answer is given is said by the first part of the path, so that
 * every gateway can be told by its api_base:
 *
 *   /d0c50g10000s20/v1/chat/completions
 *
 *   d  microseconds before the answer        c  content chunks of a stream
 *   g  microseconds between two chunks       s  bytes of content in a chunk, 24 or more
 *   e  the status of an error to answer with x  chunks after which a stream is cut; 0: never
 *   p  1: the gap is what the last POST to /g<microseconds>/pace said, for streams under way as well
 *
 * Each chunk's content begins with "tok" and 19 digits: CLOCK_MONOTONIC in nanoseconds when it was sent, so
 * that the other end, on the same machine, knows how long that very chunk was under way.
 * .../embeddings is answered with one vector. Any other POST is answered with an empty 200: that makes it an
 * OTLP/HTTP sink too. Prompts are read, never parsed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, HEAD_BYTES_MAX = 32768, TAIL_BYTES = 64, EVENTS_MAX = 256 };
enum { OUT_BYTES_MAX = 1 << 20 };

typedef struct {
    int fd;
    char head[HEAD_BYTES_MAX];      /* request line and headers, then the start of the body */
    size_t head_length;
    long body_left;                 /* of the request; -1 while reading the head */
    int stream;                     /* the body holds "stream":true */
    char tail[TAIL_BYTES];          /* the end of what was searched for it so far */
    size_t tail_length;
    long delay_us, chunks, gap_us, size;
    int chat;                       /* 1: a chat or embeddings, 0: anything else */
    int embeddings;
    long error, cut, paced;
    long sent;                      /* chunks sent; -1: no answer under way */
    long long due_ns;               /* when to go on; 0: not waiting */
    char *out;                      /* what the socket did not take yet */
    size_t out_length, out_capacity;
} connection;

static connection *connections[CONNECTIONS_MAX];
static connection *waiting[CONNECTIONS_MAX];
static int waiting_count, poll_fd;
static long pace_us = 1000000;
static char answer[2048], vector[512], refusal[512];
static size_t answer_length, vector_length;

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void close_connection(connection *c) {
    for (int i = 0; i < waiting_count; i++)
        if (waiting[i] == c) { waiting[i] = waiting[--waiting_count]; break; }
    close(c->fd);
    connections[c->fd] = NULL;
    free(c->out);
    free(c);
}

static void want_writable(connection *c, int yes) {
    struct epoll_event event = {.events = EPOLLIN | (yes ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static int flush_out(connection *c) {
    while (c->out_length) {
        ssize_t n = send(c->fd, c->out, c->out_length, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        memmove(c->out, c->out + n, c->out_length - n);
        c->out_length -= n;
    }
    return 0;
}

static int put(connection *c, const char *data, size_t length) {
    if (!c->out_length) {
        ssize_t n = send(c->fd, data, length, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return -1;
        if (n > 0) { data += n; length -= n; }
        if (!length) return 0;
        want_writable(c, 1);
    }
    if (c->out_length + length > OUT_BYTES_MAX) return -1;
    if (c->out_length + length > c->out_capacity) {
        c->out_capacity = (c->out_length + length) * 2;
        c->out = realloc(c->out, c->out_capacity);
    }
    memcpy(c->out + c->out_length, data, length);
    c->out_length += length;
    return 0;
}

static size_t frame(char *to, const char *event) { /* one SSE event as one HTTP chunk */
    return sprintf(to, "%zx\r\ndata: %s\n\n\r\n", strlen(event) + 8, event);
}

#define CHUNK_HEAD "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000," \
                   "\"model\":\"bench\",\"choices\":["
static int send_chunk(connection *c) {
    static char event[9000], out[20000];
    size_t length = 0;
    if (c->sent == 0) {
        length = sprintf(out, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                              "transfer-encoding: chunked\r\n\r\n");
        sprintf(event, CHUNK_HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                                  "\"finish_reason\":null}]}");
        length += frame(out + length, event);
    }
    int n = sprintf(event, CHUNK_HEAD "{\"index\":0,\"delta\":{\"content\":\"tok%019lld", now_ns());
    for (long i = 22; i < c->size; i++) event[n++] = i % 6 ? 'a' : ' ';
    strcpy(event + n, "\"},\"finish_reason\":null}]}");
    length += frame(out + length, event);
    if (++c->sent == c->chunks) {
        sprintf(event, CHUNK_HEAD "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
        length += frame(out + length, event);
        sprintf(event, CHUNK_HEAD "],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":%ld,"
                                  "\"total_tokens\":%ld}}", c->chunks, c->chunks + 200);
        length += frame(out + length, event);
        length += frame(out + length, "[DONE]");
        length += sprintf(out + length, "0\r\n\r\n");
    }
    return put(c, out, length);
}

static int refuse(connection *c) {
    static const char body[] = "{\"error\":{\"message\":\"asked for by the path\","
                               "\"type\":\"server_error\"}}";
    size_t length = sprintf(refusal, "HTTP/1.1 %ld Asked for\r\ncontent-type: application/json\r\n"
                            "content-length: %zu\r\n\r\n%s", c->error, sizeof body - 1, body);
    return put(c, refusal, length);
}

static int go_on(connection *c) { /* whatever of the answer is due; -1: the connection is over */
    if (c->error || !c->stream) {
        c->sent = -1;
        if (c->error) return refuse(c);
        return c->embeddings ? put(c, vector, vector_length) : put(c, answer, answer_length);
    }
    do {
        if (c->cut && c->sent == c->cut) return -1;
        if (send_chunk(c) < 0) return -1;
        if (c->sent == c->chunks) { c->sent = -1; return 0; }
    } while (!c->gap_us && !c->paced);
    c->due_ns += (c->paced ? pace_us : c->gap_us) * 1000LL; /* by the plan, not by when we woke: no drift */
    waiting[waiting_count++] = c;
    return 0;
}

static int begin_answer(connection *c) {
    c->body_left = -1;
    c->sent = 0;
    if (!c->chat) {
        static const char empty[] = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n"
                                    "content-length: 0\r\n\r\n";
        c->sent = -1;
        return put(c, empty, sizeof empty - 1);
    }
    c->due_ns = now_ns() + c->delay_us * 1000LL;
    if (!c->delay_us) return go_on(c);
    waiting[waiting_count++] = c;
    return 0;
}

static void look_for_stream(connection *c, const char *data, size_t length) {
    static const char *const words[] = {"\"stream\":true", "\"stream\": true"};
    if (c->stream) return;
    char seam[2 * TAIL_BYTES]; /* the words may lie across two reads */
    size_t start = length < TAIL_BYTES ? length : TAIL_BYTES;
    memcpy(seam, c->tail, c->tail_length);
    memcpy(seam + c->tail_length, data, start);
    for (int i = 0; i < 2; i++)
        if (memmem(data, length, words[i], strlen(words[i])) ||
            memmem(seam, c->tail_length + start, words[i], strlen(words[i]))) c->stream = 1;
    c->tail_length = length < TAIL_BYTES - 1 ? length : TAIL_BYTES - 1;
    memcpy(c->tail, data + length - c->tail_length, c->tail_length);
}

static long option(const char *path, const char *end, char name, long otherwise) {
    for (const char *p = path; p < end; p++) if (*p == name) return atol(p + 1);
    return otherwise;
}

static int read_head(connection *c, size_t head_size) {
    char *head = c->head, *space = memchr(head, ' ', head_size);
    if (!space || space[1] != '/') return -1;
    char *part = space + 2, *end = strpbrk(part, "/ ");
    c->embeddings = memmem(head, head_size, "/embeddings ", 12) != NULL;
    c->chat = c->embeddings || memmem(head, head_size, "/chat/completions ", 18) != NULL;
    c->delay_us = option(part, end, 'd', 0);
    c->chunks = c->chat ? option(part, end, 'c', 50) : 0;
    c->gap_us = option(part, end, 'g', 0);
    c->size = option(part, end, 's', 24);
    c->error = option(part, end, 'e', 0);
    c->cut = option(part, end, 'x', 0);
    c->paced = option(part, end, 'p', 0);
    if (memmem(head, head_size, "/pace ", 6)) pace_us = c->gap_us;
    if (c->size < 24) c->size = 24;
    if (c->size > 8000) c->size = 8000;
    if (c->chunks < 1) c->chunks = 1;
    char *length = strcasestr(head, "\r\ncontent-length:");
    if (!length && strcasestr(head, "\r\ntransfer-encoding:")) return -1; /* nobody sends chunked requests */
    c->body_left = length ? atol(length + 17) : 0;
    c->stream = 0;
    c->tail_length = 0;
    return 0;
}

static int received(connection *c, char *data, size_t length) {
    while (length || c->body_left == 0) {
        if (c->body_left < 0) {
            size_t room = HEAD_BYTES_MAX - 1 - c->head_length, n = length < room ? length : room;
            memcpy(c->head + c->head_length, data, n);
            size_t before = c->head_length;
            c->head_length += n;
            c->head[c->head_length] = 0;
            char *end = strstr(c->head, "\r\n\r\n");
            if (!end) {
                if (n < length) return -1;
                return 0;
            }
            size_t head_size = end + 4 - c->head, used = head_size - before;
            *end = 0;
            if (read_head(c, head_size) < 0) return -1;
            c->head_length = 0;
            data += used;
            length -= used;
        }
        size_t n = length < (size_t)c->body_left ? length : (size_t)c->body_left;
        if (c->chat && n) look_for_stream(c, data, n);
        c->body_left -= n;
        data += n;
        length -= n;
        if (c->body_left == 0 && begin_answer(c) < 0) return -1;
        if (c->body_left > 0) return 0;
    }
    return 0;
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= CONNECTIONS_MAX) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->body_left = -1;
        c->sent = -1;
        connections[fd] = c;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void serve(connection *c, unsigned events) {
    static char buffer[262144];
    if (events & EPOLLOUT) {
        if (flush_out(c) < 0) { close_connection(c); return; }
        if (!c->out_length) want_writable(c, 0);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 || received(c, buffer, n) < 0) close_connection(c);
}

static void run_due(void) {
    long long now = now_ns();
    for (int i = 0; i < waiting_count;) {
        connection *c = waiting[i];
        if (c->due_ns > now) { i++; continue; }
        waiting[i] = waiting[--waiting_count];
        if (go_on(c) < 0) close_connection(c);
    }
}

static struct timespec *until_due(struct timespec *t) {
    if (!waiting_count) return NULL;
    long long first = waiting[0]->due_ns, left;
    for (int i = 1; i < waiting_count; i++) if (waiting[i]->due_ns < first) first = waiting[i]->due_ns;
    left = first - now_ns();
    if (left < 0) left = 0;
    t->tv_sec = left / 1000000000LL;
    t->tv_nsec = left % 1000000000LL;
    return t;
}

int main(int argc, char **argv) {
    if (argc != 2) { fprintf(stderr, "usage: provider PORT\n"); return 2; }
    static char body[1200];
    size_t n = sprintf(body, "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\","
        "\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"tok ");
    while (n < 800) body[n] = n % 6 ? 'b' : ' ', n++;
    n += sprintf(body + n, "\"},\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":150,\"total_tokens\":350}}");
    answer_length = sprintf(answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        "content-length: %zu\r\n\r\n%s", n, body);
    static const char vectors[] = "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
        "\"embedding\":[0.5,-0.25,0.125,0.75,-0.5,0.25,-0.125,0.375]}],\"model\":\"bench\","
        "\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}";
    vector_length = sprintf(vector, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        "content-length: %zu\r\n\r\n%s", sizeof vectors - 1, vectors);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
        perror("listen");
        return 1;
    }
    poll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS_MAX];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct timespec t;
        int count = epoll_pwait2(poll_fd, events, EVENTS_MAX, until_due(&t), NULL);
        for (int i = 0; i < count; i++) {
            if (!events[i].data.ptr) accept_all(listener);
            else serve(events[i].data.ptr, events[i].events);
        }
        run_due();
    }
}
