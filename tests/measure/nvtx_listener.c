/* A listener for NVTX 3, loaded through NVTX_INJECTION64_PATH: appends one line per push and pop to the file
   NVTX_LISTENER_OUT. With -DOLD_EXTENSION it turns down the extension that is asked whether a domain is enabled, as
   Nsight Systems 2022.4 does; the nvtx package takes that for a no. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLBACKS = 1, CORE2 = 5, PUSH = 4, POP = 5, REGISTER_STRING = 10, DOMAIN_CREATE = 12 };

typedef void (*Function)(void);
typedef struct {
    size_t struct_size;
    int (*table_of)(int module, Function ***table, unsigned *size);
} Callbacks;
typedef struct {
    uint16_t version, size;
    uint32_t category;
    int32_t colour_type;
    uint32_t colour;
    int32_t payload_type, reserved;
    uint64_t payload;
    int32_t message_type;
    const void *message;
} Attributes;

static void *create(const char *name) { return strdup(name); }
static void *register_string(void *domain, const char *text) { return (void)domain, strdup(text); }
static FILE *out;
static int push(void *domain, const Attributes *a) {
    fprintf(out, "push\t%s\t%s\t%06x\n", (char *)domain, (char *)a->message, a->colour & 0xffffff);
    return fflush(out);
}
static int pop(void *domain) {
    fprintf(out, "pop\t%s\n", (char *)domain);
    return fflush(out);
}

int InitializeInjectionNvtx2(const void *(*export_table)(uint32_t)) {
    const Callbacks *callbacks = export_table(CALLBACKS);
    out = fopen(getenv("NVTX_LISTENER_OUT"), "a");
    Function **table;
    unsigned size;
    if (!out || !callbacks || !callbacks->table_of(CORE2, &table, &size) || size <= DOMAIN_CREATE) return 0;
    *table[PUSH] = (Function)push;
    *table[POP] = (Function)pop;
    *table[REGISTER_STRING] = (Function)register_string;
    *table[DOMAIN_CREATE] = (Function)create;
    return 1;
}

#ifdef OLD_EXTENSION
int InitializeInjectionNvtxExtension(void *module) { return (void)module, 0; }
#endif
