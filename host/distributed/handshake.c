/* The connections between the ranks of a heartbeat monitor. Rank 0 listens on every address of its host, and the other
 * ranks try these addresses in turn. */
#include "host/distributed/handshake.h"
#include "host/io/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static const double handshake_s = 2; /* timeout of one handshake */

/* Sent by the connecting rank. The token keeps out other jobs, port scanners, and a host that has the same address on
 * another network. */
typedef struct handshake {
    uint64_t token;
    int64_t rank;
} handshake;

/* Waits until a socket is ready for events. Returns false after the deadline or an error. */
static bool wait_ready(int socket, short events, double deadline) {
    struct pollfd poll_fd = {.fd = socket, .events = events};
    for (;;) {
        const double remaining = deadline - px_clock_seconds();
        const int found = remaining > 0 ? poll(&poll_fd, 1, (int)(1e3 * remaining) + 1) : 0;
        if (found > 0) return true;
        if (found == 0 || errno != EINTR) return false;
    }
}

static bool read_all(int socket, void *data, size_t bytes, double deadline) {
    size_t received = 0;
    while (received < bytes && wait_ready(socket, POLLIN, deadline)) {
        const ssize_t more = recv(socket, (char *)data + received, bytes - received, 0);
        if (more == 0 || (more < 0 && errno != EAGAIN && errno != EINTR)) return false;
        if (more > 0) received += (size_t)more;
    }
    return received == bytes;
}

void px_handshake_send(int connection, const void *message, size_t bytes) {
    const ssize_t sent = send(connection, message, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
}

bool px_handshake_host_responds(int connection, double seconds) {
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(connection, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    return info.tcpi_unacked == 0 || info.tcpi_last_ack_recv < 1e3 * seconds;
}

static int open_socket(void) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int no_delay = 1;
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay);
    return fd;
}

/* Lists this host's IPv4 addresses, those of the loopback interface last. */
static void list_addresses(px_heartbeat_address *address) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) return;
    for (int loopback = 0; loopback <= 1; loopback++)
        for (struct ifaddrs *one = all; one && address->count < PX_HEARTBEAT_ADDRESSES; one = one->ifa_next) {
            if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || !(one->ifa_flags & IFF_UP)) continue;
            if (!(one->ifa_flags & IFF_LOOPBACK) != !loopback) continue;
            address->address[address->count++] = ((struct sockaddr_in *)(void *)one->ifa_addr)->sin_addr.s_addr;
        }
    freeifaddrs(all);
}

px_status px_heartbeat_listen(px_context *ctx, px_heartbeat_address *address, int *listener) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t size = sizeof any;
    *address = (px_heartbeat_address){0};
    *listener = open_socket();
    if (*listener < 0 || bind(*listener, (struct sockaddr *)&any, sizeof any) != 0 ||
        listen(*listener, SOMAXCONN) != 0 || getsockname(*listener, (struct sockaddr *)&any, &size) != 0 ||
        getrandom(&address->token, sizeof address->token, 0) != (ssize_t)sizeof address->token)
        return px_fail(ctx, PX_ERR_DEVICE, "heartbeat: rank 0 cannot listen for the other ranks: %s", strerror(errno));
    address->port = ntohs(any.sin_port);
    list_addresses(address);
    return PX_OK;
}

static bool connect_at(const px_heartbeat_address *address, uint32_t host, int rank, int *connection) {
    const struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(address->port), .sin_addr.s_addr = host};
    const double deadline = px_clock_seconds() + handshake_s;
    const handshake request = {address->token, rank};
    uint64_t reply = 0;
    int error = 0;
    socklen_t size = sizeof error;
    const int fd = open_socket();
    if (fd < 0) return false;
    const bool started = connect(fd, (const struct sockaddr *)&peer, sizeof peer) == 0 || errno == EINPROGRESS;
    if (started && wait_ready(fd, POLLOUT, deadline) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
        error == 0) {
        px_handshake_send(fd, &request, sizeof request);
        *connection = fd;
        if (read_all(fd, &reply, sizeof reply, deadline) && reply == ~address->token) return true;
    }
    close(fd);
    *connection = -1;
    return false;
}

px_status px_handshake_connect(px_context *ctx, const px_heartbeat_address *address, int rank, int *connection) {
    char tried[PX_HEARTBEAT_ADDRESSES * INET_ADDRSTRLEN + 1] = "";
    for (int i = 0; i < address->count; i++) {
        char text[INET_ADDRSTRLEN];
        if (connect_at(address, address->address[i], rank, connection)) return PX_OK;
        inet_ntop(AF_INET, &address->address[i], text, sizeof text);
        snprintf(tried + strlen(tried), sizeof tried - strlen(tried), " %s", text);
    }
    return px_fail(ctx, PX_ERR_DEVICE,
                   "heartbeat: cannot connect to rank 0 at port %d of%s; hosts must reach each other over TCP (IPv4)",
                   address->port, tried);
}

px_status px_handshake_accept(px_context *ctx, int listener, uint64_t token, int count, double deadline, int *rank,
                              int *connection) {
    *rank = -1;
    while (wait_ready(listener, POLLIN, deadline)) {
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            return px_fail(ctx, PX_ERR_DEVICE, "heartbeat: rank 0 cannot open a connection for each rank: %s",
                           strerror(errno));
        if (fd < 0) continue;
        handshake request;
        if (read_all(fd, &request, sizeof request, px_clock_seconds() + handshake_s) && request.token == token &&
            request.rank > 0 && request.rank < count) {
            const uint64_t reply = ~token;
            px_handshake_send(fd, &reply, sizeof reply);
            *rank = (int)request.rank;
            *connection = fd;
            return PX_OK;
        }
        close(fd);
    }
    return PX_OK;
}
