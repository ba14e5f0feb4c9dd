/*
 * The guest of the boot tests: PID 1 of an image that has nothing else.
 *
 * Hands requests from the test to the kernel's /dev/nsm byte for byte, and the
 * answers back, so that the tests judge the device through the real driver and
 * nothing in between. What it is to do otherwise stands in /mode:
 *   serve   heartbeat, then requests
 *   words   last words, then the end
 *   silent  neither, for ever
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PARENT = 3, HEARTBEAT_PORT = 9000, WORDS_PORT = 9001, PORT = 7000 };

struct nsm_raw {
	struct iovec request, response;
};
#define NSM_RAW _IOWR(0x0A, 0, struct nsm_raw)

static int open_port(unsigned cid, unsigned port)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	int failed = cid == PARENT ? connect(fd, (void *)&at, sizeof at)
				   : bind(fd, (void *)&at, sizeof at) || listen(fd, 16);
	if (failed)
		printf("guest: port %u: %s\n", port, strerror(errno));
	return failed ? -1 : fd;
}

static void give_up(const char *words)
{
	char byte;
	int fd = open_port(PARENT, WORDS_PORT);
	printf("guest: %s\n", words);
	if (fd >= 0) {
		dprintf(fd, "%s\n", words);
		shutdown(fd, SHUT_WR);
		/* The parent closes when it has read the line. */
		while (read(fd, &byte, 1) > 0)
			;
	}
	reboot(RB_AUTOBOOT);
}

static int read_all(int fd, uint8_t *to, size_t len)
{
	for (ssize_t n; len > 0; to += n, len -= n)
		if ((n = read(fd, to, len)) <= 0)
			return -1;
	return 0;
}

/* u16 length and request in; u32 errno, u16 length and answer out. */
static void serve(int fd, int nsm)
{
	static uint8_t request[0x10000], answer[6 + 0x3000];

	while (read_all(fd, request, 2) == 0) {
		size_t len = request[0] << 8 | request[1];
		struct nsm_raw raw = {
			.request = { request, len },
			.response = { answer + 6, sizeof answer - 6 },
		};
		if (len == 0)
			give_up("the guest was asked to give up");
		if (read_all(fd, request, len))
			return;
		int failed = ioctl(nsm, NSM_RAW, &raw) ? errno : 0;
		size_t got = failed ? 0 : raw.response.iov_len;
		memcpy(answer, (uint8_t[]){ 0, 0, 0, failed, got >> 8, got }, 6);
		if (write(fd, answer, 6 + got) < 0)
			return;
	}
}

int main(void)
{
	char mode[16] = "";
	uint8_t beat = 0xb7;
	int fd = open("/mode", O_RDONLY);

	if (read(fd, mode, sizeof mode - 1) < 0 || mount("dev", "/dev", "devtmpfs", 0, ""))
		return 1;
	fd = open("/dev/console", O_RDWR);
	dup2(fd, 0), dup2(fd, 1), dup2(fd, 2);
	setvbuf(stdout, NULL, _IONBF, 0);
	printf("guest: mode %s\n", mode);
	if (strcmp(mode, "silent") == 0)
		for (;;)
			pause();
	if (strcmp(mode, "words") == 0)
		give_up("the guest cannot \033[31mgo on");

	fd = open_port(PARENT, HEARTBEAT_PORT);
	if (fd < 0 || write(fd, &beat, 1) != 1 || read(fd, &beat, 1) != 1 || beat != 0xb7)
		give_up("no heartbeat");
	close(fd);

	int nsm = open("/dev/nsm", O_RDWR);
	int listener = open_port(VMADDR_CID_ANY, PORT);
	if (nsm < 0 || listener < 0)
		give_up("no device");
	printf("guest: serving\n");
	for (;;) {
		fd = accept(listener, NULL, NULL);
		serve(fd, nsm);
		close(fd);
	}
}
