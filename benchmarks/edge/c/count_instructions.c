/* A plugin of QEMU: counts the instructions executed from one address to another, and writes a line at the second.

   It declares for itself the few functions of the plugin interface that it calls: Debian packages no header for them.
   An instruction whose condition fails is counted: it is fetched and takes its cycle. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
typedef struct qemu_plugin_tb block;
typedef struct qemu_plugin_insn instruction;
typedef void (*on_execution)(unsigned int cpu, void *data);

size_t qemu_plugin_tb_n_insns(const block *);
instruction *qemu_plugin_tb_get_insn(const block *, size_t);
uint64_t qemu_plugin_insn_vaddr(const instruction *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, block *));
void qemu_plugin_register_vcpu_insn_exec_cb(instruction *, on_execution, int flags, void *data);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

static uint64_t first, last, count;
static FILE *lines;

static void begin(unsigned int cpu, void *data)
{
    (void)cpu, (void)data;
    count = 0;
}

static void step(unsigned int cpu, void *data)
{
    (void)cpu, (void)data;
    count++;
}

static void end(unsigned int cpu, void *data)
{
    (void)cpu, (void)data;
    fprintf(lines, "%" PRIu64 "\n", count);
    fflush(lines);
}

static void translated(plugin_id id, block *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        instruction *const each = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t address = qemu_plugin_insn_vaddr(each);
        const on_execution what = address == first ? begin : address == last ? end : step;
        qemu_plugin_register_vcpu_insn_exec_cb(each, what, 0, NULL);
    }
}

/* Arguments: first=ADDRESS, last=ADDRESS, lines=FILE. */
int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        const char *const value = strchr(argv[i], '=') + 1;
        if (strncmp(argv[i], "first=", 6) == 0) {
            first = strtoull(value, NULL, 0);
        } else if (strncmp(argv[i], "last=", 5) == 0) {
            last = strtoull(value, NULL, 0);
        } else {
            lines = fopen(value, "w");
        }
    }
    if (lines == NULL) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
