/* pixelrnn: training, likelihood and sampling of PixelCNN, Row LSTM and Diagonal BiLSTM models of images
 * (van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv:1601.06759). This header includes the whole public API. */
#ifndef PIXELRNN_PIXELRNN_H
#define PIXELRNN_PIXELRNN_H

#include "pixelrnn/config.h"
#include "pixelrnn/decoder.h"
#include "pixelrnn/device.h"
#include "pixelrnn/evaluate.h"
#include "pixelrnn/loader.h"
#include "pixelrnn/model.h"
#include "pixelrnn/model_file.h"
#include "pixelrnn/ranks.h"
#include "pixelrnn/sample.h"
#include "pixelrnn/source.h"
#include "pixelrnn/status.h"
#include "pixelrnn/stop.h"
#include "pixelrnn/tensor.h"
#include "pixelrnn/train.h"
#include "pixelrnn/version.h"

#endif
