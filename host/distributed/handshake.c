/* How the ranks of a watch find each other: rank 0 listens on every address of its host, the others try them in turn.
 */
#include "host/distributed/handshake.h"
#include "host/io/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static const double PX_HANDSHAKE_SECONDS = 2; /* for one address to answer */

/* Who knocks: the token keeps out other jobs, port scanners, and a host that has the same address on another network.
 */
typedef struct handshake {
    uint64_t token;
    int64_t rank;
} handshake;

/* Waits until line is ready for events, or the deadline. */
static bool ready(int line, short events, double deadline) {
    struct pollfd wait = {.fd = line, .events = events};
    for (;;) {
        const double left = deadline - px_clock_seconds();
        const int found = left > 0 ? poll(&wait, 1, (int)(1e3 * left) + 1) : 0;
        if (found > 0) return true;
        if (found == 0 || errno != EINTR) return false;
    }
}

static bool read_whole(int line, void *data, size_t bytes, double deadline) {
    size_t got = 0;
    while (got < bytes && ready(line, POLLIN, deadline)) {
        const ssize_t more = recv(line, (char *)data + got, bytes - got, 0);
        if (more == 0 || (more < 0 && errno != EAGAIN && errno != EINTR)) return false;
        if (more > 0) got += (size_t)more;
    }
    return got == bytes;
}

void px_say(int line, const void *message, size_t bytes) {
    const ssize_t sent = send(line, message, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
}

bool px_host_answers(int line, double seconds) {
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(line, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    return info.tcpi_unacked == 0 || info.tcpi_last_ack_recv < 1e3 * seconds;
}

static int px_socket(void) {
    const int line = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int at_once = 1;
    if (line >= 0) setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    return line;
}

/* This host's addresses; those that others can reach come first. */
static void own_addresses(px_heartbeat_address *place) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) return;
    for (int loopback = 0; loopback <= 1; loopback++)
        for (struct ifaddrs *one = all; one && place->count < PX_HEARTBEAT_ADDRESSES; one = one->ifa_next) {
            if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || !(one->ifa_flags & IFF_UP)) continue;
            if (!(one->ifa_flags & IFF_LOOPBACK) != !loopback) continue;
            place->address[place->count++] = ((struct sockaddr_in *)(void *)one->ifa_addr)->sin_addr.s_addr;
        }
    freeifaddrs(all);
}

px_status px_heartbeat_listen(px_context *ctx, px_heartbeat_address *place, int *door) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t size = sizeof any;
    *place = (px_heartbeat_address){0};
    *door = px_socket();
    if (*door < 0 || bind(*door, (struct sockaddr *)&any, sizeof any) != 0 || listen(*door, SOMAXCONN) != 0 ||
        getsockname(*door, (struct sockaddr *)&any, &size) != 0 ||
        getrandom(&place->token, sizeof place->token, 0) != (ssize_t)sizeof place->token)
        return px_fail(ctx, PX_ERR_DEVICE, "ranks: rank 0 cannot listen for the others: %s", strerror(errno));
    place->port = ntohs(any.sin_port);
    own_addresses(place);
    return PX_OK;
}

static bool handshake_at(const px_heartbeat_address *place, uint32_t address, int rank, int *line) {
    const struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_port = htons(place->port), .sin_addr.s_addr = address};
    const double deadline = px_clock_seconds() + PX_HANDSHAKE_SECONDS;
    const handshake knock = {place->token, rank};
    uint64_t answer = 0;
    int error = 0;
    socklen_t size = sizeof error;
    *line = px_socket();
    if (*line < 0) return false;
    const bool begun = connect(*line, (const struct sockaddr *)&there, sizeof there) == 0 || errno == EINPROGRESS;
    if (begun && ready(*line, POLLOUT, deadline) && getsockopt(*line, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
        error == 0) {
        px_say(*line, &knock, sizeof knock);
        if (read_whole(*line, &answer, sizeof answer, deadline) && answer == ~place->token) return true;
    }
    close(*line);
    *line = -1;
    return false;
}

px_status px_connect(px_context *ctx, const px_heartbeat_address *place, int rank, int *line) {
    char tried[PX_HEARTBEAT_ADDRESSES * INET_ADDRSTRLEN + 1] = "";
    for (int i = 0; i < place->count; i++) {
        char text[INET_ADDRSTRLEN];
        if (handshake_at(place, place->address[i], rank, line)) return PX_OK;
        inet_ntop(AF_INET, &place->address[i], text, sizeof text);
        snprintf(tried + strlen(tried), sizeof tried - strlen(tried), " %s", text);
    }
    return px_fail(ctx, PX_ERR_DEVICE, "ranks: rank 0 cannot be reached for the watch at port %d of%s", place->port,
                   tried);
}

px_status px_let_in(px_context *ctx, int door, uint64_t token, int count, double deadline, int *rank, int *line) {
    *rank = -1;
    while (ready(door, POLLIN, deadline)) {
        *line = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (*line < 0 && (errno == EMFILE || errno == ENFILE))
            return px_fail(ctx, PX_ERR_DEVICE, "ranks: too many connections for rank 0: %s", strerror(errno));
        if (*line < 0) continue;
        handshake knock;
        const bool known = read_whole(*line, &knock, sizeof knock, px_clock_seconds() + PX_HANDSHAKE_SECONDS) &&
                           knock.token == token && knock.rank > 0 && knock.rank < count;
        if (known) {
            const uint64_t answer = ~token;
            px_say(*line, &answer, sizeof answer);
            *rank = (int)knock.rank;
            return PX_OK;
        }
        close(*line);
    }
    return PX_OK;
}
