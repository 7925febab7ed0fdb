/* Runs a .tmdl file with TinyMaix: judge MODEL OUTPUTS < images > outputs.
   stdin: images, uint8, pixel by pixel (HWC); stdout: OUTPUTS elements of 4 bytes for every image. */
#include "tinymaix.h"

static uint8_t* whole_file(const char* path, size_t* size)
{
    FILE* file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t* data = malloc(*size);
    if (fread(data, 1, *size, file) != *size) return NULL;
    fclose(file);
    return data;
}

int main(int argc, char** argv)
{
    size_t size = 0;
    uint8_t* data = argc == 3 ? whole_file(argv[1], &size) : NULL;
    if (!data) return 10;
    size_t outputs = (size_t)atol(argv[2]);
    tm_mdl_t model;
    tm_mat_t in, outs[1];
    tm_err_t error = tm_load(&model, data, NULL, NULL, &in);
    if (error != TM_OK) return 20 + error;
    tm_mdlbin_t* head = (tm_mdlbin_t*)data;
    size_t pixels = (size_t)head->in_dims[1] * head->in_dims[2] * head->in_dims[3];
    uint8_t* image = malloc(pixels);
    while (fread(image, 1, pixels, stdin) == pixels) {
        tm_mat_t picture = {head->in_dims[0], head->in_dims[1], head->in_dims[2], head->in_dims[3], {(mtype_t*)image}};
        error = tm_preprocess(&model, JUDGE_PREPROCESS, &picture, &in);
        if (error == TM_OK) error = tm_run(&model, &in, outs);
        if (error != TM_OK) return 40 + error;
        fwrite(outs[0].dataf, 4, outputs, stdout);
    }
    return 0;
}
